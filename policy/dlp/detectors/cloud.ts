import { family } from './family.ts'
import { sample } from './samples.ts'

/** Keys of cloud providers. */
export const cloud = family(
  {
    name: 'aws-access-key',
    finds: 'the id of an access key of AWS, which goes with a secret',
    patterns: ['(AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}'],
    examples: {
      match: [`AK${'IA'}${sample('base32', 16)}`, `key=AS${'IA'}${sample('base32', 16, 2)};`],
      not: ['AKIA', `AKIA${sample('hex', 16)}`],
    },
  },
  {
    name: 'aws-secret-key',
    finds: 'a secret access key of AWS, named so',
    patterns: ['(?i)aws.{0,20}(secret|sk|key).{0,20}[ =:"\'][A-Za-z0-9/+]{40}'],
    check: (value) =>
      /[^A-Za-z0-9/+][A-Za-z0-9/+]{40}$/.test(value) &&
      /[A-Z]/.test(value.slice(-40)) &&
      /[a-z]/.test(value.slice(-40)) &&
      /\d/.test(value.slice(-40)),
    examples: {
      match: [`aws_secret_access_key = ${sample('word', 40)}`, `"AWS_SECRET_ACCESS_KEY": "${sample('word', 40, 3)}"`],
      not: [`secret = ${sample('word', 40)}`, `aws key digest: ${sample('hex', 40)}`],
    },
  },
  {
    name: 'gcp-api-key',
    finds: 'an API key of Google',
    patterns: ['AIza[0-9A-Za-z_-]{35}'],
    examples: { match: [`AI${'za'}${sample('word', 35)}`], not: [`AIza${sample('word', 30)} `] },
  },
  {
    name: 'gcp-oauth',
    finds: 'an access token or a client secret of Google',
    patterns: ['ya29\\.[0-9A-Za-z_-]{30,}', 'GOCSPX-[0-9A-Za-z_-]{28}'],
    examples: { match: [`ya${'29.'}${sample('word', 60)}`, `GOC${'SPX-'}${sample('word', 28)}`], not: ['ya29.short', 'GOCSPX-'] },
  },
  {
    name: 'azure-client-secret',
    finds: 'a client secret of Entra ID',
    patterns: ['[0-9]Q~[A-Za-z0-9_~.-]{31,34}'],
    examples: { match: [`a1b8${'Q~'}${sample('word', 34)}`], not: [`a1b8Q~${sample('word', 20)}`] },
  },
  {
    name: 'azure-storage-key',
    finds: 'a key of an Azure account, as a connection string has it',
    patterns: ['(AccountKey|SharedAccessKey)=[A-Za-z0-9+/]{42,86}={1,2}'],
    examples: {
      match: [`Account${'Key='}${sample('word', 86)}==`, `SharedAccess${'Key='}${sample('word', 43)}=`],
      not: ['AccountKey=<your key>'],
    },
  },
  {
    name: 'azure-sas',
    finds: 'the signature of a shared access to Azure',
    patterns: ['[?&;]sig=[A-Za-z0-9%+/]{43,}(=|%3[dD])'],
    examples: { match: [`?sv=2024-01-01&sp=r&si${'g='}${sample('word', 43)}%3D`], not: ['?sig=abc&x=1'] },
  },
  {
    name: 'digitalocean-token',
    finds: 'a token of DigitalOcean',
    patterns: ['do[opr]_v1_[a-f0-9]{64}'],
    examples: { match: [`do${'p_v1_'}${sample('hex', 64)}`], not: [`dop_v1_${sample('hex', 10)}`] },
  },
  {
    name: 'vault-token',
    finds: 'a token of HashiCorp Vault or Terraform Cloud',
    patterns: ['hv[sbr]\\.[A-Za-z0-9_-]{24,}', '\\.atlasv1\\.[A-Za-z0-9_-]{60,}'],
    examples: { match: [`hv${'s.'}${sample('word', 90)}`, `${sample('word', 14)}.atl${'asv1.'}${sample('word', 64)}`], not: ['hvs.short'] },
  },
)
