/** Entry point of a task's own thread that loads what src/threads/request-worker.ts does, in phase 5. */
import '../../src/base/bell.ts';
import '../../src/base/clock.ts';
import '../../src/base/control.ts';
import '../../src/http/outbox.ts';
import '../../src/dispatch/intake.ts';
import '../../src/dispatch/store-now.ts';
import '../../src/threads/serving-context.ts';
import { loadLimiter, loadParser, loadTelemetry, loadWriter, slotsOf } from '../../src/phases.ts';
import '../../src/telemetry/histogram.ts';
import '../../src/http/exchange.ts';
import { serveOne } from './serve-one.ts';

/** The last phase with a thread for each request. */
const slots = slotsOf({ phase: 5, revert: 'none' });
await Promise.all([loadParser(slots), loadLimiter(slots), loadWriter(slots), loadTelemetry(slots)]);
serveOne();
