/** The CPU of a guest that runs, and what libvirt on another host says of it. Types and nothing else. */

export interface GuestCpu {
  /** The `<cpu>` of the running guest, as libvirt shows it. */
  readonly xml: string;
  /** The guest has the CPU of its host as it is. */
  readonly passthrough: boolean;
  /** Of the domain: `kvm`, `qemu`. */
  readonly type: string;
  readonly arch: string;
  /** The definition for its next start leaves the model to the host that it starts on. */
  readonly hostModel?: true;
  /** Features that the definition for its next start asks for by name. */
  readonly asked?: readonly string[];
  /** With `invtsc`: QEMU moves it only where the frequency is given. */
  readonly invtsc?: true;
}

/** `lacks`: with the missing features, in libvirt's words. */
export type CpuThere = { readonly answer: 'fits' } | { readonly answer: 'lacks' | 'unknown'; readonly why: string };
