/** The short check of a journey: every phase, and those with a slot reverted, store what they accept. */
import { progress } from '../under-test/command-line.ts';
import { type CellOptions, measureCell, variantName } from './cell.ts';
import { BATCH, REVERT_VARIANTS, type Variant } from './plan.ts';

/** Fewer clients than threads that may live at once, and few requests, since some phases start a thread for each. */
const CLIENTS = 5;
const REQUESTS_PER_CLIENT = 2;

async function check(variant: Variant, scratch: string): Promise<string> {
  const options: CellOptions = {
    ...variant,
    batch: BATCH,
    load: { kind: 'closed', clients: CLIENTS },
    seconds: 0,
    warmUpSeconds: 0,
    requestsPerClient: REQUESTS_PER_CLIENT,
    pinned: false,
    scratch,
  };
  const { accepted, stored, sent, succeeded } = await measureCell(options);
  if (sent !== CLIENTS * REQUESTS_PER_CLIENT) throw new Error(`${sent} requests sent`);
  if (accepted === 0) throw new Error('nothing was accepted');
  const refused = sent - succeeded;
  return `${stored} in the files${refused > 0 ? `; ${refused} of ${sent} requests were not accepted` : ''}`;
}

/** Returns the exit code: 1 when a variant failed. */
export async function smoke(scratch: string, phases: readonly number[]): Promise<number> {
  const reverts = REVERT_VARIANTS.filter(
    ({ phase, revert }) => revert !== undefined && phases.includes(phase),
  );
  const variants: Variant[] = [...phases.map((phase) => ({ phase })), ...reverts];
  let failed = 0;
  for (const variant of variants) {
    try {
      const found = await check(variant, scratch);
      console.log(`${variantName(variant)}: all accepted metrics are stored, ${found}`);
    } catch (error) {
      failed++;
      console.log(`${variantName(variant)}: FAILED: ${error instanceof Error ? error.message : error}`);
    }
  }
  progress(`${variants.length - failed} of ${variants.length} store what they accept`);
  return failed === 0 ? 0 : 1;
}
