/** Entry of `ferry serve`: runs until a signal asks for the end. A second signal does not wait for a clean one. */
import { exitCodes } from '@ferry/core';
import { failureOf, help, parseServeArguments } from './command-line.ts';
import { jsonLog } from './log.ts';

/** Resolves with the exit code once the server has stopped, or could not start. */
export const main = async (args: readonly string[]): Promise<number> => {
  try {
    const options = parseServeArguments(args);
    if (options === 'help') {
      process.stdout.write(help);
      return exitCodes.done;
    }
    // What the process creates, the store's files too, is its owner's alone.
    process.umask(0o077);
    const stop = stopSignal();
    // Loaded late: --help and a wrong option need neither libvirt nor the store.
    const { serve } = await import('./serve.ts');
    const log = jsonLog(process.stderr);
    const hurry = new AbortController();
    void stop.then(() => hurry.abort());
    const server = await serve({ ...options, log, hurry: hurry.signal });
    process.stdout.write(`Ferry control plane listening on ${server.url}, data in ${options.dataDir}\n`);
    const signal = await stop;
    log.info({ signal }, 'stopping');
    await server.close();
    return exitCodes.done;
  } catch (error) {
    const failure = failureOf(error);
    process.stderr.write(failure.text);
    return failure.exit;
  }
};

const stopSignal = (): Promise<NodeJS.Signals> =>
  new Promise((resolve) => {
    let asked = false;
    const onSignal = (signal: NodeJS.Signals): void => {
      if (asked) process.exit(signal === 'SIGINT' ? 130 : 143);
      asked = true;
      resolve(signal);
    };
    process.on('SIGINT', onSignal);
    process.on('SIGTERM', onSignal);
  });

if (import.meta.main) process.exit(await main(process.argv.slice(2)));
