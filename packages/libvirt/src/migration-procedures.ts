// The rows of the table of procedures (procedures.ts) that move a domain.
import { openEnded, row } from './procedure.ts';
import { domain, MAX_COOKIE_BYTES, optionalStr, str, wireParams } from './wire-types.ts';
import { flag, nothing, opaque, struct, u32 } from './xdr.ts';

const cookie = opaque(MAX_COOKIE_BYTES);
const params = wireParams(64);

export const migrationProcedures = {
  domainMigrateBegin3Params: openEnded(
    row(
      302,
      'DOMAIN_MIGRATE_BEGIN3_PARAMS',
      struct({ dom: domain, params, flags: u32 }),
      struct({ cookieOut: cookie, xml: str }),
    ),
  ),
  domainMigratePrepare3Params: openEnded(
    row(
      303,
      'DOMAIN_MIGRATE_PREPARE3_PARAMS',
      struct({ params, cookieIn: cookie, flags: u32 }),
      struct({ cookieOut: cookie, uriOut: optionalStr }),
    ),
  ),
  domainMigratePerform3Params: openEnded(
    row(
      305,
      'DOMAIN_MIGRATE_PERFORM3_PARAMS',
      struct({ dom: domain, destinationUri: optionalStr, params, cookieIn: cookie, flags: u32 }),
      struct({ cookieOut: cookie }),
    ),
  ),
  domainMigrateFinish3Params: openEnded(
    row(
      306,
      'DOMAIN_MIGRATE_FINISH3_PARAMS',
      struct({ params, cookieIn: cookie, flags: u32, cancelled: flag }),
      struct({ dom: domain, cookieOut: cookie }),
      'urgent',
    ),
  ),
  domainMigrateConfirm3Params: openEnded(
    row(
      307,
      'DOMAIN_MIGRATE_CONFIRM3_PARAMS',
      struct({ dom: domain, params, cookieIn: cookie, flags: u32, cancelled: flag }),
      nothing,
      'urgent',
    ),
  ),
} as const;
