/**
 * Paths of hosts as text. Two spellings of one path are one path; symbolic links are not followed, since only the
 * host knows them.
 */

/** Without `//`, `.` and `..`. A text that is no absolute path stays as it is. */
export function normalPath(path: string): string {
  if (!path.startsWith('/')) return path;
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return `/${parts.join('/')}`;
}

/**
 * Without `//` and `.` only: names the same file on every host. With `..` it is another file where the folder before
 * that is a link.
 */
export function tidyPath(path: string): string {
  if (!path.startsWith('/')) return path;
  return `/${path
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/')}`;
}

export const hasParent = (path: string): boolean => path.split('/').includes('..');
