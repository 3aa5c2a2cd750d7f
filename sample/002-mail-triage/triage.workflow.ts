import { Step, Workflow, type WorkflowContext, type WorkflowHandler } from 'nestjs-workflow';
import { Recorded } from './evidence.js';
import type { Mail, Triage, Verdict } from './mail.js';
import { LanguageDetector } from './steps/language-detector.js';
import { LinkFinder } from './steps/link-finder.js';
import { MailParser } from './steps/mail-parser.js';
import { Moderated, Quarantine } from './steps/quarantine.js';
import { Reputation } from './steps/reputation.js';
import { SpamRules } from './steps/spam-rules.js';

const DOUBTFUL = 1;
const SPAM = 4;

@Workflow({ name: 'mail-triage' })
export class MailTriage implements WorkflowHandler<Mail, Triage> {
  constructor(
    private readonly parser: MailParser,
    private readonly rules: SpamRules,
    private readonly links: LinkFinder,
    private readonly languages: LanguageDetector,
    private readonly reputation: Reputation,
    private readonly quarantine: Quarantine,
  ) {}

  async run(ctx: WorkflowContext<Mail>): Promise<Triage> {
    const mail = await this.parser.parse(ctx.payload);
    const score = await this.rules.score(mail);
    const [links, language, reputation] = await Promise.all([
      this.links.find(mail.text),
      this.languages.detect(mail.text),
      this.reputation.lookup(ctx.payload.id, mail.sender),
    ]);

    const points = score.points + links.points + reputation.points;
    let verdict: Verdict = points < DOUBTFUL ? 'inbox' : 'spam';
    if (points >= DOUBTFUL && points < SPAM) {
      await this.quarantine.hold(ctx.runId, ctx.payload);
      const answer = await ctx.waitForEvent('moderator', Moderated(ctx.runId), { timeout: '5s' });
      if (answer.timedOut) verdict = 'expired';
      else if (answer.data.release) verdict = 'released';
    }

    await ctx.sleep('settle', '200ms');
    return this.conclude({ mail: ctx.payload.id, verdict, points, language, links: links.count });
  }

  /** The effect that nobody wants twice; here it is the line that @Recorded writes. */
  @Step()
  @Recorded()
  async conclude(triage: Triage): Promise<Triage> {
    return triage;
  }
}

/**
 * Which steps each step awaits directly: the shape of `run` above, read by the driver's audit. Two keys are no steps:
 * `moderator` is the wait, `result` the end of the run.
 */
export const AWAITS: Readonly<Record<string, readonly string[]>> = {
  'SpamRules.score': ['MailParser.parse'],
  'LinkFinder.find': ['SpamRules.score'],
  'LanguageDetector.detect': ['SpamRules.score'],
  'Reputation.lookup': ['SpamRules.score'],
  'Quarantine.hold': ['LinkFinder.find', 'LanguageDetector.detect', 'Reputation.lookup'],
  moderator: ['Quarantine.hold'],
  // not through the quarantine alone: most mails never see it
  'MailTriage.conclude': ['moderator', 'LinkFinder.find', 'LanguageDetector.detect', 'Reputation.lookup'],
  result: ['MailTriage.conclude'],
};

export const FINAL_STEP = 'MailTriage.conclude';
