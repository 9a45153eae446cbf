// One host's side of a migration that the client drives itself (libvirt's "managed direct"): begin, perform and confirm
// on the source, prepare and finish on the target, all on one connection of its own, since libvirtd ties what it has
// begun to the connection. The order of the calls, and what to do when one has no answer, is the caller's: source of
// the order is virDomainMigrateVersion3Full in libvirt.
import type { CallOptions, Connection } from './connection.ts';
import { VIR_MIGRATE } from './constants.ts';
import { toMigrateWireParams } from './migrate.ts';
import type { MigrateParams } from './migrate.ts';
import { migrationProcedures as p } from './migration-procedures.ts';
import type { DomainRef } from './wire-types.ts';

export interface MigrationStep {
  /** VIR_MIGRATE, the same in every step; each drops what its side does not know. */
  readonly flags: number;
  readonly params: MigrateParams;
  /** What the step before gave; absent for the first. */
  readonly cookie?: Uint8Array | undefined;
}

/** Every call may reject with LibvirtError (nothing of it holds) or ConnectionLostError (see its `outcome`). */
export interface MigrationSide extends AsyncDisposable {
  /** On the source. The definition that the target is to be given. */
  begin(
    dom: DomainRef,
    step: MigrationStep,
    options?: CallOptions,
  ): Promise<{ readonly xml: string; readonly cookie: Uint8Array }>;
  /** On the target; `params.destinationXml` is what `begin` gave. `uri` is where its QEMU listens, for `perform`. */
  prepare(
    step: MigrationStep,
    options?: CallOptions,
  ): Promise<{ readonly cookie: Uint8Array; readonly uri: string | undefined }>;
  /** On the source: settles when the memory has gone over. The guest is then paused there, until `confirm`. */
  perform(dom: DomainRef, step: MigrationStep, options?: CallOptions): Promise<{ readonly cookie: Uint8Array }>;
  /** On the target: lets the guest run there, or removes it. Cancelling is answered by the error MIGRATE_FINISH_OK. */
  finish(
    step: MigrationStep & { readonly cancelled: boolean },
    options?: CallOptions,
  ): Promise<{ readonly cookie: Uint8Array }>;
  /** On the source: ends its copy, or lets it run again. */
  confirm(dom: DomainRef, step: MigrationStep & { readonly cancelled: boolean }, options?: CallOptions): Promise<void>;
}

const NO_COOKIE = new Uint8Array(0);
/** The target refuses these. */
const SOURCE_ONLY = VIR_MIGRATE.ABORT_ON_ERROR | VIR_MIGRATE.AUTO_CONVERGE;

export function migrationSideOn(connection: Connection): MigrationSide {
  const onSource = (flags: number): number => (flags | VIR_MIGRATE.CHANGE_PROTECTION) >>> 0;
  const onTarget = (flags: number): number => (flags & ~SOURCE_ONLY) >>> 0;
  return {
    begin: async (dom, { flags, params }, options) => {
      const { cookieOut, xml } = await connection.call(
        p.domainMigrateBegin3Params,
        { dom, params: toMigrateWireParams(params), flags: onSource(flags) },
        options,
      );
      return { xml, cookie: cookieOut };
    },
    prepare: async ({ flags, params, cookie = NO_COOKIE }, options) => {
      const { cookieOut, uriOut } = await connection.call(
        p.domainMigratePrepare3Params,
        { params: toMigrateWireParams(params), cookieIn: cookie, flags: onTarget(flags) },
        options,
      );
      return { cookie: cookieOut, uri: uriOut };
    },
    perform: async (dom, { flags, params, cookie = NO_COOKIE }, options) => {
      const { cookieOut } = await connection.call(
        p.domainMigratePerform3Params,
        {
          dom,
          destinationUri: undefined,
          params: toMigrateWireParams(params),
          cookieIn: cookie,
          flags: onSource(flags),
        },
        options,
      );
      return { cookie: cookieOut };
    },
    finish: async ({ flags, params, cookie = NO_COOKIE, cancelled }, options) => {
      const { cookieOut } = await connection.call(
        p.domainMigrateFinish3Params,
        { params: toMigrateWireParams(params), cookieIn: cookie, flags: onTarget(flags), cancelled },
        options,
      );
      return { cookie: cookieOut };
    },
    confirm: (dom, { flags, params, cookie = NO_COOKIE, cancelled }, options) =>
      connection.call(
        p.domainMigrateConfirm3Params,
        { dom, params: toMigrateWireParams(params), cookieIn: cookie, flags: onSource(flags), cancelled },
        options,
      ),
    [Symbol.asyncDispose]: () => connection.close(),
  };
}
