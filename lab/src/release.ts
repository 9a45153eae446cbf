// The Debian releases that a host of the lab can run, and their properties. release-root.ts creates their root file
// systems.

import { readFileSync } from 'node:fs';
import { usageError } from './errors.ts';

/** From the oldest to the newest. */
export const RELEASES = ['bookworm', 'trixie', 'testing'] as const;
export type Release = (typeof RELEASES)[number];

export function releaseOf(text: string): Release {
  const release = RELEASES.find((each) => each === text);
  if (release === undefined)
    throw usageError(`There is no release "${text}" for a host; choose one of ${RELEASES.join(', ')}.`);
  return release;
}

/** What the machine itself runs. Everything newer than the last stable release that is known here counts as testing. */
export function machineRelease(): Release {
  const codename = /^VERSION_CODENAME=(\w+)$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1];
  return RELEASES.find((each) => each === codename) ?? 'testing';
}

export function oldestOf(releases: readonly Release[]): Release | undefined {
  return RELEASES.find((each) => releases.includes(each));
}

/** Its QEMU forgets pages when an emulated guest moves, see host/tlb-fix.c. Mended in QEMU 9.0. */
export function losesPages(release: Release): boolean {
  return release === 'bookworm';
}
