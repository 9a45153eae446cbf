export * from './engine.ts';
export * from './facade.ts';
export type { Inspection } from './inspection.ts';
export * from './ports.ts';
export type { Copy, Remain } from './settle.ts';
export * from './virtual-time.ts';
