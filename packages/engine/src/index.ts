export * from './engine.ts';
export * from './facade.ts';
export * from './ports.ts';
