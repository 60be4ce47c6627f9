/** E2B's network settings, translated to Caisson's. */
export { E2B_EGRESS, type E2bNetwork, fileOfE2b } from '@caisson/policy'
