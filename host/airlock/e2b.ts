/** What E2B's clients say of the network, and what it means here. */
export { E2B_EGRESS, type E2bNetwork, fileOfE2b } from '@caisson/policy'
