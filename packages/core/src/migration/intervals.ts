/** How often both hosts are read. */

/** Between two looks at both hosts while something is still to happen. */
export const observeEveryMs = 500;
/**
 * The same while libvirt transfers and will tell of the switch and of the end: each look takes time of the daemons
 * that the guests need.
 */
export const observeTransferEveryMs = 5_000;
