/**
 * Writes docs/compatibility.md from what generations.test.ts saw. To run it again: FERRY_TEST_FULL=1
 * FERRY_TEST_REMEMBER=1 node --test test/generations.test.ts
 */
import { writeFileSync } from 'node:fs';
import { compatibilityPage, knownSeen, pageFile } from './generations.ts';

writeFileSync(pageFile, compatibilityPage(knownSeen()));
