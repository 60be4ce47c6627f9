/** What the operator of this machine opens to rules of sandboxes; read by the settings, shown by the doctor. */
export { type OperatorRange, operatorRangeText, readOperatorSetting } from '@caisson/policy'
