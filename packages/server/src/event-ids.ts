/** Ids of events: the run of Ferry that gave it out, and the number in the journal. */
import { FerryError } from '@ferry/core';
import type { EventPlace } from '@ferry/engine';

export const eventId = ({ run, seq }: Required<EventPlace>): string => `${run}-${seq}`;

export const placeOf = (text: string | undefined): EventPlace | undefined => {
  if (text === undefined || text === '') return undefined;
  const [, run, seq] = /^(?:([a-z0-9]{1,16})-)?(\d{1,15})$/.exec(text) ?? [];
  if (seq === undefined)
    throw new FerryError('request-invalid', 'The header "Last-Event-ID" is not the id of an event.');
  return { seq: Number(seq), ...(run === undefined ? {} : { run }) };
};
