/**
 * What lists are filtered by: selectors of labels, in the grammar of kubectl, and patterns of names. A label is
 * KEY=VALUE; a VM may have several of one key.
 */
import { FerryError } from '../model/errors.ts';

export interface Requirement {
  readonly key: string;
  /** `in`: a value of the key is among `values`; `exists`: the key has any. The others are the opposite. */
  readonly is: 'in' | 'not-in' | 'exists' | 'absent';
  readonly values: readonly string[];
}

/** All of them have to hold. */
export type Selector = readonly Requirement[];

const keyPattern = '[A-Za-z0-9][A-Za-z0-9._/-]{0,62}';
const valuePattern = '[A-Za-z0-9._-]{0,63}';
const forms: readonly (readonly [RegExp, Requirement['is']])[] = [
  [new RegExp(`^(${keyPattern})$`), 'exists'],
  [new RegExp(`^! *(${keyPattern})$`), 'absent'],
  [new RegExp(`^(${keyPattern}) *==? *(${valuePattern})$`), 'in'],
  [new RegExp(`^(${keyPattern}) *!= *(${valuePattern})$`), 'not-in'],
  [new RegExp(`^(${keyPattern}) +in *\\(([^()]*)\\)$`), 'in'],
  [new RegExp(`^(${keyPattern}) +notin *\\(([^()]*)\\)$`), 'not-in'],
];
const valueOnly = new RegExp(`^${valuePattern}$`);

/** Throws FerryError `selector-invalid`. */
export function parseSelector(text: string): Selector {
  // a comma inside parentheses is one between values
  return text.split(/,(?![^(]*\))/).map((part) => requirementOf(part.trim(), text));
}

function requirementOf(part: string, whole: string): Requirement {
  for (const [form, is] of forms) {
    const [, key, list = ''] = form.exec(part) ?? [];
    if (key === undefined) continue;
    const values = is === 'exists' || is === 'absent' ? [] : list.split(',').map((value) => value.trim());
    if (values.every((value) => valueOnly.test(value))) return { key, is, values };
  }
  throw new FerryError(
    'selector-invalid',
    part === ''
      ? `The selector "${whole.slice(0, 100)}" lacks a requirement before or after a comma.`
      : `The selector "${whole.slice(0, 100)}" is not understood at "${part.slice(0, 100)}".`,
  );
}

export function matchesSelector(selector: Selector, labels: readonly string[]): boolean {
  return selector.every(({ key, is, values }) => {
    const isMeant = (label: string): boolean =>
      label.startsWith(key) &&
      label[key.length] === '=' &&
      (values.length === 0 || values.includes(label.slice(key.length + 1)));
    return labels.some(isMeant) === (is === 'in' || is === 'exists');
  });
}

/** A `*` stands for any characters, also none. Costs the length of the name for each `*` at most. */
export function matchesName(pattern: string, name: string): boolean {
  const [first = '', ...rest] = pattern.split('*');
  const last = rest.pop();
  if (last === undefined) return name === pattern;
  if (name.length < first.length + last.length || !name.startsWith(first) || !name.endsWith(last)) return false;
  const end = name.length - last.length;
  let at = first.length;
  for (const part of rest) {
    const found = name.indexOf(part, at);
    if (found === -1 || found + part.length > end) return false;
    at = found + part.length;
  }
  return true;
}
