import { family } from './family.ts'
import { sample } from './samples.ts'

/** Tokens of messaging, payment and monitoring services. */
export const providers = family(
  {
    name: 'slack-token',
    finds: 'a token or a webhook of Slack',
    patterns: [
      'xox[abeoprs](\\.xox[bp])?-[0-9A-Za-z-]{20,}',
      'xapp-[0-9]-[A-Z0-9]{8,}-[0-9]{8,}-[a-z0-9]{32,}',
      'hooks\\.slack\\.com/(services|workflows)/T[A-Z0-9]{8,12}/[A-Z0-9]{8,12}/[A-Za-z0-9]{20,}',
    ],
    examples: {
      match: [
        `xox${'b-'}${sample('digits', 12)}-${sample('digits', 12)}-${sample('word', 24)}`,
        `https://hooks.slack.com/ser${'vices/'}T${sample('upper', 8)}/B${sample('upper', 8)}/${sample('word', 24)}`,
      ],
      not: ['xoxb-your-token', 'https://hooks.slack.com/services/'],
    },
  },
  {
    name: 'stripe-key',
    finds: 'a secret key of Stripe',
    patterns: ['[rs]k_(live|test)_[A-Za-z0-9]{24,}', 'whsec_[A-Za-z0-9+/]{32,}'],
    examples: {
      match: [`sk_li${'ve_'}${sample('word', 24)}`, `rk_te${'st_'}${sample('word', 99)}`, `wh${'sec_'}${sample('word', 32)}`],
      not: [`pk_live_${sample('word', 24)}`, 'risk_test_results_overview'],
    },
  },
  {
    name: 'message-token',
    // For Discord, the length of the first part is checked here: counting it in the pattern would multiply the states of all others.
    check: (value) => !/^[MNO]/.test(value) || /^[MNO][A-Za-z0-9]{23,25}\./.test(value),
    finds: 'a token of SendGrid, Twilio, Telegram, Mailgun or Discord',
    patterns: [
      'SG\\.[A-Za-z0-9_-]{22}\\.[A-Za-z0-9_-]{43}',
      'SK[a-f0-9]{32}',
      '[0-9]{8,10}:AA[A-Za-z0-9_-]{33}',
      'key-[a-f0-9]{32}',
      '[MNO][A-Za-z0-9]+\\.[A-Za-z0-9_-]{6}\\.[A-Za-z0-9_-]{27,38}',
      'discord(app)?\\.com/api/webhooks/[0-9]{17,20}/[A-Za-z0-9_-]{60,}',
    ],
    edges: true,
    examples: {
      match: [
        `S${'G.'}${sample('word', 22)}.${sample('word', 43)}`,
        `S${'K'}${sample('hex', 32)}`,
        `bot ${sample('digits', 10)}:${'AA'}${sample('word', 33)}`,
        `M${sample('word', 23)}.${sample('word', 6)}.${sample('word', 27)}`,
      ],
      not: [`DISK${sample('hex', 32)}`, 'SG.version.number'],
    },
  },
  {
    name: 'service-token',
    finds: 'a token of Shopify, Square, Databricks, Linear, Notion, Figma, Grafana, New Relic, Sentry, Doppler or Atlassian',
    patterns: [
      ...[
        'shp(at|ca|pa|ss)_[a-f0-9]{32}',
        'sq0(atp|csp)-[A-Za-z0-9_-]{22,43}',
        'dapi[a-f0-9]{32}',
        'lin_api_[A-Za-z0-9]{40}',
        'ntn_[A-Za-z0-9]{40,}',
      ],
      ...[
        'figd_[A-Za-z0-9_-]{40,}',
        'gls[ap]_[A-Za-z0-9]{32}_[a-f0-9]{8}',
        'NRAK-[A-Z0-9]{27}',
        'sntry[su]_[A-Za-z0-9_+/=]{40,}',
        'dp\\.(pt|st|ct|sa)\\.[A-Za-z0-9]{40,44}',
      ],
      'ATATT3[A-Za-z0-9_=-]{60,}',
    ],
    edges: true,
    examples: {
      match: [
        `shp${'at_'}${sample('hex', 32)}`,
        `dap${'i'}${sample('hex', 32)}`,
        `lin${'_api_'}${sample('word', 40)}`,
        `gls${'a_'}${sample('word', 32)}_${sample('hex', 8)}`,
        `dp${'.pt.'}${sample('word', 43)}`,
      ],
      not: [`shpat_${sample('hex', 20)}`, `rapidapi${sample('hex', 32)}`],
    },
  },
)
