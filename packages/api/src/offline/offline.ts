/**
 * What a client can find out with no control plane in reach: plans on the file of `ferry fleet export`, by the same core
 * that the control plane decides with. Loaded only where it is asked for.
 */
export { fleetFileSchema, fleetFileVersion, type FleetFileJson } from '../schemas/fleet-file.ts';
export { fileOfFleet, fleetOfFile } from './fleet-file.ts';
export { drainOnFile, moveOnFile, type DrainOnFile, type MoveOnFile, type MoveWish } from './plans.ts';
