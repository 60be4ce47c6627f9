import { acceptedOn } from './walled.ts'

/*
 * Not here, all of it for time where the processor is emulated: programs that make many sandboxes, or start an interpreter for nearly every step. What they
 * ask of a wall (memory and files kept over a pause, forks, snapshots, each language) is asked of this one by spec/walls.
 */
acceptedOn('microvm', {
  'e2b-files.mjs': { "where the user may not write: made by root, and the user's": 'the root is read-only' },
  'e2b-watch.mjs': {},
  'e2b_commands.py': { 'environment, working directory, user': 'no program gets more rights than it was started with: sudo does not work' },
})
