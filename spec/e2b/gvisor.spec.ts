import { acceptedOn } from './walled.ts'

// What this wall's kernel (runsc of 2022) has not.
const NO_SET_UID = 'set-uid bits are not honoured: commands run as root instead'
const NO_ATTRIBUTES = 'files have no extended attributes'
const NO_BOOT_ID = 'it is told by the boot_id, which is not there'

/*
 * Not here: `e2b-terminal.mjs`, all of which holds but one step (its kernel makes no signal of an interrupt that is typed), which waits for it; the others
 * in JavaScript, and the asynchronous ones in Python, which hold too and ask nothing of a wall that these do not.
 */
acceptedOn('gvisor', {
  'e2b-commands.mjs': { 'users: user, root, sudo without a password, and one that is not known': NO_SET_UID },
  'e2b-files.mjs': {
    'files of the kernel, whose size is not known before, are read whole': 'there is no boot_id',
    "where the user may not write: made by root, and the user's": 'the root is read-only, and nobody becomes root',
    'metadata: kept, listed, replaced as a whole, carried along by a rename': NO_ATTRIBUTES,
  },
  'e2b-life.mjs': { 'pause of the files alone: resumed as from a cold start': NO_BOOT_ID },
  'e2b-ports.mjs': {},
  'e2b-snapshots.mjs': {},
  'e2b-watch.mjs': {},
  'interpreter-code.mjs': {},
  'e2b_commands.py': { 'environment, working directory, user': NO_SET_UID },
  'e2b_files.py': { 'metadata: kept, replaced, cleared': NO_ATTRIBUTES },
  'e2b_life.py': { 'pause and connect; of memory, and of the files alone': NO_BOOT_ID },
  'interpreter.py': {},
})
