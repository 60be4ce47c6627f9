/** More than people or models write in one piece. */
export const MAX_SCANNED_CHARACTERS = 256 * 1024
