import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LibvirtError, VIR_ERR, VIR_STORAGE_POOL_STATE, type HostSession, type PoolRef } from '@ferry/libvirt';
import { poolLender } from './pool-lending.ts';

const patience = () => AbortSignal.timeout(20_000);

/** A daemon that takes one pool for each folder. `silent`: it carries a call out, and its answer is lost. */
function daemon() {
  const pools = new Map<string, string>();
  const state = { silent: false, pools };
  const lose = (): void => {
    if (state.silent) throw new Error('aborted');
  };
  const session: Partial<HostSession> = {
    pools: async () => [...pools.keys()].map((name): PoolRef => ({ name, uuid: name })),
    poolXml: async ({ name }) =>
      `<pool type='dir'><name>${name}</name><target><path>${pools.get(name) ?? ''}</path></target></pool>`,
    poolInfo: async ({ name }) => {
      if (!pools.has(name)) throw refusal(VIR_ERR.NO_STORAGE_POOL, 'no pool');
      return { state: VIR_STORAGE_POOL_STATE.RUNNING, capacityBytes: 1, allocationBytes: 0, availableBytes: 1 };
    },
    poolCreateXml: async (xml) => {
      const [, name = '', path = ''] = /<name>(.*)<\/name>.*<path>(.*)<\/path>/.exec(xml) ?? [];
      const other = [...pools].find(([, there]) => there === path);
      if (other !== undefined)
        throw refusal(VIR_ERR.OPERATION_FAILED, `Storage source conflict with pool: '${other[0]}'`);
      pools.set(name, path);
      lose();
      return { name, uuid: name };
    },
    poolDestroy: async ({ name }) => {
      lose();
      pools.delete(name);
    },
  };
  return { ...state, state, lender: poolLender(session as HostSession) };
}
const refusal = (code: number, message: string): LibvirtError =>
  new LibvirtError('storagePoolCreateXml', {
    code,
    message,
    domain: 0,
    level: 2,
    int1: 0,
    int2: 0,
    str1: undefined,
    str2: undefined,
    str3: undefined,
  });

for (const lost of ['made', 'given back'] as const)
  test(`a folder whose pool was ${lost} while the host did not answer can be looked into again, and nothing stays`, async () => {
    const { state, lender, pools } = daemon();
    if (lost === 'made') {
      state.silent = true;
      await assert.rejects(() => lender.lend('/vms', {}, AbortSignal.abort(new Error('aborted'))));
    } else {
      const loan = await lender.lend('/vms', {}, patience());
      state.silent = true;
      await loan?.[Symbol.asyncDispose]();
    }
    assert.equal(pools.size, 1);
    state.silent = false;
    {
      await using loan = await lender.lend('/vms/', {}, patience());
      assert.equal(pools.get(loan?.pool.name ?? ''), '/vms');
    }
    assert.deepEqual([...pools], []);
  });

test('a pool that another one has got there since the pools were listed is used', async () => {
  const { lender, pools } = daemon();
  {
    await using _ = await lender.lend('/other', {}, patience());
  }
  pools.set('vms', '/vms');
  {
    await using loan = await lender.lend('/vms', {}, patience());
    assert.equal(loan?.pool.name, 'vms');
  }
  assert.deepEqual([...pools.keys()], ['vms']);
});
