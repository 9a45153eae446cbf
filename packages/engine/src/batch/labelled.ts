/**
 * Hosts that are drained by their label: begins, cancels and takes back what core says. The drain of a host and the note
 * that its label began it are stored in one transaction, so that it begins once.
 */
import {
  batchId,
  FerryError,
  labelStep,
  uncordoned,
  type Batch,
  type BatchId,
  type HostId,
  type HostView,
  type RequestedBy,
} from '@ferry/core';
import type { KnownHosts } from '../fleet/hosts.ts';
import type { Clock, IntentStore, Log } from '../ports/ports.ts';
import { collection, text, type Stored } from '../state/collection.ts';
import type { Batches } from './batches.ts';

/** What is still to be done is looked at again this often. */
const lookEveryMs = 5_000;
/** In place of a drain that the label began. */
const somebodyElse = 'somebody else';
const by: RequestedBy = { actor: 'ferry.drain', client: 'label' };

export interface LabelledHosts {
  /** Why what its label asks for is not done, in a sentence. */
  attentionOf(id: HostId): string | undefined;
  hostChanged(view: HostView): void;
  recover(): Promise<void>;
  stop(): Promise<void>;
}

export interface LabelledDeps {
  readonly intents: IntentStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly knownHosts: Pick<KnownHosts, 'hosts' | 'follower' | 'serve'>;
  readonly batches: Pick<Batches, 'all' | 'drain' | 'restore' | 'cancel'>;
  /** Throws FerryError `host-in-rollout`. */
  readonly refuseOn: (id: HostId) => void;
  /** What is said of the host has changed. */
  readonly said: (view: HostView) => void;
}

export function drainLabelledHosts({ clock, log, knownHosts, batches, ...deps }: LabelledDeps): LabelledHosts {
  const stored = collection(deps.intents, 'label-drains/', text);
  const notes = new Map<string, Stored<string>>();
  const attention = new Map<string, string>();
  const stopping = new AbortController();
  /** Hosts with something to do, and those that are being looked at. */
  const wanting = new Set<HostId>();
  /** What is stored has been read: before that, a host may seem to have no note. */
  let isOpen = false;
  let driving: Promise<void> | undefined;
  let wake = new AbortController();

  const batchOf = (id: BatchId | undefined): Batch | undefined =>
    id === undefined ? undefined : batches.all().find((batch) => batch.id === id);
  const noteOf = (id: HostId): BatchId | undefined => {
    const found = notes.get(id)?.value;
    return found === undefined ? undefined : batchId(found);
  };
  const stepOf = (view: HostView) => {
    const noted = noteOf(view.host.id);
    return labelStep(view, noted, batchOf);
  };
  const say = (view: HostView, sentence: string | undefined): void => {
    const { id, name } = view.host;
    if (attention.get(id) === sentence) return;
    if (sentence === undefined) attention.delete(id);
    else attention.set(id, sentence);
    if (sentence !== undefined) log.warn({ host: name }, sentence);
    deps.said(view);
  };
  const reread = async (id: HostId): Promise<void> => {
    const now = await stored.get(id);
    if (now === undefined) notes.delete(id);
    else notes.set(id, now);
  };

  const act = async (view: HostView): Promise<void> => {
    const { id } = view.host;
    const step = stepOf(view);
    const forget = () => [stored.delete(id, notes.get(id)?.revision ?? 0)];
    switch (step.do) {
      case 'nothing':
        return;
      case 'drain':
        await batches.drain({ hosts: [id], force: false }, by, (batch) => [stored.put(id, batch, 0)]);
        return;
      case 'leave':
        await stored.commit([stored.put(id, somebodyElse, 0)]);
        return;
      case 'cancel':
        await batches.cancel(step.batch, false);
        // set again, the label begins another one
        await stored.commit(forget());
        return;
      case 'restore':
        deps.refuseOn(id);
        await batches.restore(id, by, forget, step.batch).catch(async (error: unknown) => {
          if (!(error instanceof FerryError) || error.code !== 'drain-none') throw error;
          await knownHosts.serve([id], uncordoned, async () => forget());
        });
        return;
      case 'forget':
        await stored.commit(forget());
        return;
    }
  };
  const look = async (id: HostId): Promise<void> => {
    const view = knownHosts.follower(id)?.view();
    if (view === undefined) {
      // the host is gone, and its labels with it
      const note = notes.get(id);
      if (note !== undefined) await stored.commit([stored.delete(id, note.revision)]);
      notes.delete(id);
      attention.delete(id);
      wanting.delete(id);
      return;
    }
    try {
      await act(view);
      const now = stepOf(view);
      say(view, now.do === 'nothing' ? now.attention : undefined);
    } catch (error) {
      if (stopping.signal.aborted) return;
      const message = error instanceof Error ? error.message : String(error);
      say(view, `What its label ferry.drain asks for is not done, and is tried again: ${message}`);
    } finally {
      await reread(id);
      const next = stepOf(knownHosts.follower(id)?.view() ?? view);
      const ends = next.do === 'nothing' && batchOf(noteOf(id))?.phase !== 'cancelling';
      if (ends) wanting.delete(id);
    }
  };
  const drive = async (): Promise<void> => {
    while (wanting.size > 0 && !stopping.signal.aborted) {
      wake = new AbortController();
      for (const id of wanting) {
        if (stopping.signal.aborted) return;
        await look(id).catch((error: unknown) => log.warn({ err: error, host: id }, 'a label could not be looked at'));
      }
      if (wanting.size > 0)
        await clock.sleep(lookEveryMs, AbortSignal.any([stopping.signal, wake.signal])).catch(() => undefined);
    }
  };
  const consider = (view: HostView): void => {
    const step = stepOf(view);
    if (step.do === 'nothing' && step.attention === attention.get(view.host.id)) return;
    wanting.add(view.host.id);
    wake.abort();
    begin();
  };
  const begin = (): void => {
    driving ??= drive().finally(() => {
      driving = undefined;
      // one that came as the last round ended
      if (wanting.size > 0 && !stopping.signal.aborted) begin();
    });
  };

  return {
    attentionOf: (id) => attention.get(id),
    hostChanged: (view) => {
      if (isOpen && !stopping.signal.aborted) consider(view);
    },
    async recover() {
      for (const each of (await stored.list()).items) {
        notes.set(each.key, each);
        wanting.add(each.key as HostId);
      }
      isOpen = true;
      for (const view of knownHosts.hosts()) consider(view);
      if (wanting.size > 0) begin();
    },
    async stop() {
      stopping.abort(new Error('the control plane stops'));
      await driving;
    },
  };
}
