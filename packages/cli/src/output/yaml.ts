/** YAML in which no text has a character that a terminal obeys: the same values, written as escapes. */
import { Document, isScalar, visit } from 'yaml';
import { escapeControls, hasControls } from './format.ts';

export function yamlOf(value: unknown): string {
  const document = new Document(value, { aliasDuplicateObjects: false });
  visit(document, {
    Scalar: (_, node) => {
      // an escape is one only between double quotes
      if (isScalar(node) && typeof node.value === 'string' && hasControls(node.value)) node.type = 'QUOTE_DOUBLE';
    },
  });
  return escapeControls(document.toString({ lineWidth: 0 }).trimEnd(), '\n');
}
