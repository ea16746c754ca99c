/** Entry point of a task's own thread that loads nothing of the server. */
import { serveOne } from './serve-one.ts';

serveOne();
