import { family } from './family.ts'
import { sample } from './samples.ts'

/** API keys of model providers. */
export const models = family(
  {
    name: 'openai-key',
    finds: 'an API key of OpenAI',
    patterns: ['sk-(proj-|svcacct-|admin-)?[A-Za-z0-9_-]{20,}T3BlbkFJ[A-Za-z0-9_-]{20,}', 'sk-(proj|svcacct|admin)-[A-Za-z0-9_-]{40,}'],
    examples: {
      match: [`sk${'-'}${sample('word', 20)}T3Blbk${'FJ'}${sample('word', 20)}`, `sk${'-pro'}j-${sample('word', 74)}`],
      not: ['sk-learn-contrib-and-other-projects', `sk-${sample('word', 20)}`],
    },
  },
  {
    name: 'anthropic-key',
    finds: 'a key of Anthropic',
    patterns: ['sk-ant-[a-z0-9]{3,10}-[A-Za-z0-9_-]{32,}'],
    examples: { match: [`sk-a${'nt-api03-'}${sample('word', 93)}AA`], not: ['sk-ant-api03-...', 'task-ant-build-and-then-some'] },
  },
  {
    name: 'model-key',
    finds: 'a key of Hugging Face, Groq, Replicate, Perplexity or xAI',
    patterns: ['hf_[A-Za-z]{34}', 'gsk_[A-Za-z0-9]{52}', 'r8_[A-Za-z0-9]{37}', 'pplx-[A-Za-z0-9]{48}', 'xai-[A-Za-z0-9]{80}'],
    edges: true,
    examples: {
      match: [
        `h${'f_'}${sample('letters', 34)}`,
        `gs${'k_'}${sample('word', 52)}`,
        `r${'8_'}${sample('word', 37)}`,
        `pp${'lx-'}${sample('word', 48)}`,
        `xa${'i-'}${sample('word', 80)}`,
      ],
      not: ['hf_hub_download', `half_${sample('letters', 34)}`],
    },
  },
)
