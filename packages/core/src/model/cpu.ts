/** The CPU of a guest that runs, and what libvirt on another host says of it. Types and nothing else. */

export interface GuestCpu {
  /** The `<cpu>` of the running guest, as libvirt shows it. */
  readonly xml: string;
  /** The guest has the CPU of its host as it is. */
  readonly passthrough: boolean;
  /** Of the domain: `kvm`, `qemu`. */
  readonly type: string;
  readonly arch: string;
}

/** `lacks`: with the missing features, in libvirt's words. */
export type CpuThere = { readonly answer: 'fits' } | { readonly answer: 'lacks' | 'unknown'; readonly why: string };
