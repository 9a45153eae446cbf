/** The HTTP face of Ferry and the composition of `ferry serve`. */
export * from './clock.ts';
export * from './control-plane.ts';
export * from './data-folder.ts';
export * from './http-server.ts';
export * from './log.ts';
export * from './serve.ts';
