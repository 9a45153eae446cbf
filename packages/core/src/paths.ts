/** Paths of hosts as text. Two spellings of one path are one path; symbolic links are not followed, since only the host knows them. */

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
