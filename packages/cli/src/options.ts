/** Values of options that several commands take. */
import { InvalidArgumentError } from 'commander';

export const wholeNumber =
  (unit: string) =>
  (text: string): number => {
    const value = Number(text);
    if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError(`It takes a whole number of ${unit} from 1.`);
    return value;
  };
