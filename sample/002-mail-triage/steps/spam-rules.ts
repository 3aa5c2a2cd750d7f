import { Injectable } from '@nestjs/common';
import { Step } from 'nestjs-workflow';
import { Recorded } from '../evidence.js';
import type { Findings, ParsedMail } from '../mail.js';

type Rule = [reason: string, points: number, applies: (mail: ParsedMail) => boolean];

const RULES: Rule[] = [
  ['HTML without plain text', 1.5, (m) => m.htmlOnly],
  ['answers go elsewhere', 1, (m) => !m.bulkMailer && m.replyTo !== undefined],
  ['shouted subject', 1, (m) => /[A-Z]{4}/.test(m.subject) && m.subject === m.subject.toUpperCase()],
  ['subject with ! or $', 1, (m) => /[!$]|%/.test(m.subject)],
  ['sums of money', 1, (m) => /\$\s?\d[\d,]{2,}|\d+ million (us )?dollars/i.test(m.text)],
  [
    'asks to act',
    1,
    (m) => /\b(click here|act now|order now|call now|limited time|apply now|sign up)\b/i.test(m.text),
  ],
  [
    'promises',
    1,
    (m) => /\b(guarantee|risk[- ]free|no obligation|100% free|absolutely free|for free|winner)/i.test(m.text),
  ],
  [
    'trades of spam',
    1.5,
    (m) =>
      /\b(mortgage|viagra|casino|weight loss|lose weight|insurance|debt|loan|porn|sex|investment|earn)\b/i.test(
        m.text,
      ),
  ],
  [
    'offers to be removed',
    1.5,
    (m) => /\b(be removed|to remove|remove (you|me)|opt[- ]?out|unsubscribe)\b/i.test(m.text),
  ],
  ['on a mailing list', -2, (m) => m.bulkMailer],
];

@Injectable()
export class SpamRules {
  @Step()
  @Recorded()
  async score(mail: ParsedMail): Promise<Findings> {
    const matched = RULES.filter(([, , applies]) => applies(mail));
    return {
      points: matched.reduce((sum, [, points]) => sum + points, 0),
      reasons: matched.map(([reason]) => reason),
    };
  }
}
