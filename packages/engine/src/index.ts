export * from './engine.ts';
export * from './facade.ts';
export type { Inspection } from './state/migration-records.ts';
export * from './ports/ports.ts';
export * from './ports/store-rules.ts';
export type { Copy } from './fleet/settle.ts';
export * from './time/virtual-time.ts';
export { memoryIntents } from './fake/intents.ts';
export { memoryStores } from './fake/stores.ts';
