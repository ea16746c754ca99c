/** Lets the process end in good order when its terminal has gone. */
import { closeSync } from 'node:fs';
import { isatty } from 'node:tty';

const STANDARD_DESCRIPTORS = [0, 1, 2];

/**
 * Closes standard streams at the exit whose terminal was closed meanwhile. Node.js restores the settings of each
 * terminal when it exits, and aborts if that fails with EIO (`ResetStdio` in its node.cc). It skips closed descriptors.
 */
export function closeLostTerminalsAtExit(): void {
  const terminals = STANDARD_DESCRIPTORS.filter((descriptor) => isatty(descriptor));
  if (terminals.length === 0) return;
  process.once('exit', () => {
    for (const descriptor of terminals) if (!isatty(descriptor)) closeSync(descriptor);
  });
}
