import { family } from './family.ts'
import { sample } from './samples.ts'

/** Tokens of code hosting services and package registries. */
export const code = family(
  {
    name: 'github-token',
    finds: 'a token of GitHub: personal, OAuth, app, refresh, fine-grained',
    patterns: ['gh[pousr]_[A-Za-z0-9]{36}', 'github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}'],
    examples: {
      match: [
        `gh${'p_'}${sample('word', 36)}`,
        `x-access-token:gh${'s_'}${sample('word', 36, 2)}@`,
        `github${'_pat_'}${sample('word', 22)}_${sample('word', 59)}`,
      ],
      not: [`ghp_${sample('word', 30)}`, 'the prefix ghp_ is followed by 36 characters'],
    },
  },
  {
    name: 'gitlab-token',
    finds: 'a token of GitLab: personal, deploy, runner, pipeline, job',
    patterns: ['gl(pat|oas|dt|rt|ptt|cbt|soat|ft|imt|agent)-[A-Za-z0-9_-]{20,}'],
    examples: {
      match: [`gl${'pat-'}${sample('word', 20)}`, `gl${'rt-'}${sample('word', 24)}`],
      not: [`glpat-${sample('word', 12)}`, 'glob-parent-directories-and-more'],
    },
  },
  {
    name: 'npm-token',
    finds: 'a token of the npm registry',
    patterns: ['npm_[A-Za-z0-9]{36}'],
    examples: { match: [`_authToken=np${'m_'}${sample('word', 36)}`], not: ['npm_config_registry=x npm_lifecycle_event'] },
  },
  {
    name: 'pypi-token',
    finds: 'a token of the Python Package Index',
    patterns: ['pypi-AgE[A-Za-z0-9_-]{50,}'],
    examples: { match: [`pyp${'i-AgE'}IcHlwaS5vcmc${sample('word', 120)}`], not: ['pypi-AgEIcHlwaS5vcmc', 'pypi-publish-workflow'] },
  },
  {
    name: 'package-token',
    finds: 'a token of RubyGems, crates, NuGet, Docker Hub or Postman',
    patterns: [
      'rubygems_[a-f0-9]{48}',
      'cio[A-Za-z0-9]{32}',
      'oy2[a-z0-9]{43}',
      'dckr_pat_[A-Za-z0-9_-]{27}',
      'PMAK-[a-f0-9]{24}-[a-f0-9]{34}',
    ],
    edges: true,
    examples: {
      match: [
        `ruby${'gems_'}${sample('hex', 48)}`,
        `ci${'o'}${sample('word', 32)}`,
        `oy${'2'}${sample('lower', 43)}`,
        `dckr${'_pat_'}${sample('word', 27)}`,
      ],
      not: ['rubygems_version', `precio${sample('word', 32)}`],
    },
  },
)
