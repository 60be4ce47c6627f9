/** Reserved addresses that the operator opens to sandbox rules; read from the settings, shown by the doctor. */
export { type OperatorRange, operatorRangeText, readOperatorSetting } from '@caisson/policy'
