/** Writes docs/moves.md from the table of moves. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { movesPage } from './moves.ts';

writeFileSync(join(import.meta.dirname, '..', 'docs', 'moves.md'), movesPage());
