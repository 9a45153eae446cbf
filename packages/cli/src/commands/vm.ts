/** `ferry vm ...`: the VMs, what is known of them, and what is done with one in place. */
import type { Command } from 'commander';
import { contextOf } from '../context.ts';
import { listCommand, printList, type ListOptions } from '../list-command.ts';
import { labelChange, wholeNumber } from '../options.ts';
import { moveCommands } from './vm-move.ts';

export function vmCommands(program: Command): void {
  const vm = program.command('vm').description('virtual machines');
  listCommand(vm.command('list').description('list the VMs'), 'VMs', [
    'host',
    'cluster',
    'state',
    'name',
    'label',
  ]).action(async (options: ListOptions, command: Command) => {
    const { vmList } = await import('./vm-list.ts');
    await printList(command, options, vmList(options));
  });
  vm.command('show <vm>')
    .description('show one VM')
    .action(async (ref: string, _: object, command: Command) => {
      const { client, output } = contextOf(command);
      const shown = await client().call('vmShow', { params: { vm: ref } });
      const { vmText } = await import('../output/vm-text.ts');
      output.result(shown, (safe) => vmText(safe));
    });
  vm.command('label <vm> <labels...>')
    .description('add labels to a VM (tier=db) or remove them (tier=db-)')
    .action(async (ref: string, labels: readonly string[], _: object, command: Command) => {
      const { client, output } = contextOf(command);
      const labelled = await client().call('vmLabel', { params: { vm: ref }, body: labelChange(labels) });
      output.result(labelled, (safe) => `${safe.name}: ${safe.labels?.join(', ') ?? 'no labels'}`);
    });
  vm.command('announce <vm>')
    .description('announce a VM to the network again')
    .action(async (ref: string, _: object, command: Command) => {
      const { client, output } = contextOf(command);
      const announced = await client().call('vmAnnounce', { params: { vm: ref } });
      output.result(announced, (safe) => `${safe.name} is announced by ${safe.host}`);
    });
  vm.command('dirty-rate <vm>')
    .description('measure what a running guest writes to its memory; plans use it for 5 min')
    .option(
      '--seconds <n>',
      'longest period, up to 30; 1, 2, 4 ... come before it (default: 4)',
      wholeNumber('seconds'),
    )
    .action(async (ref: string, { seconds }: { readonly seconds?: number }, command: Command) => {
      const { client, output } = contextOf(command);
      const body = seconds === undefined ? {} : { seconds };
      const measured = await client().call('vmDirtyRate', { params: { vm: ref }, body });
      const { dirtyRateText } = await import('../output/vm-text.ts');
      output.result(measured, (safe) => dirtyRateText(safe));
    });
  vm.command('settle <vm>')
    .description('show what is known of each copy of a VM; --keep ends or parks all but one')
    .option('--keep <host>', 'keep the copy on this host; end other active copies at once and park their definitions')
    .action(async (ref: string, { keep }: { readonly keep?: string }, command: Command) => {
      const { client, output } = contextOf(command);
      if (keep !== undefined) {
        const settled = await client().call('vmSettle', { params: { vm: ref }, body: { keep } });
        const { vmText } = await import('../output/vm-text.ts');
        return output.result(settled, (safe) => vmText(safe));
      }
      const { copies, ...rest } = await client().call('vmCopies', { params: { vm: ref } });
      return output.result({ ...rest, copies }, (safe) =>
        safe.copies
          .map((copy) =>
            [
              `${copy.host}: ${copy.state} (${copy.reason}), ${copy.role}`,
              ...copy.knowledge.map((line) => `  ${line}`),
            ].join('\n'),
          )
          .join('\n'),
      );
    });
  moveCommands(vm);
}
