import { readFile } from 'node:fs/promises';
import { Injectable } from '@nestjs/common';
import { Step } from 'nestjs-workflow';
import PostalMime, { type Address } from 'postal-mime';
import { mailPath } from '../corpus.js';
import { Recorded } from '../evidence.js';
import type { Mail, ParsedMail } from '../mail.js';

@Injectable()
export class MailParser {
  @Step()
  @Recorded()
  async parse(mail: Mail): Promise<ParsedMail> {
    const parsed = await PostalMime.parse(await readFile(mailPath(mail)));
    const sender = hostOf(parsed.from);
    const replyTo = hostOf(parsed.replyTo?.[0]);
    return {
      subject: parsed.subject ?? '',
      sender,
      ...(replyTo && replyTo !== sender && { replyTo }),
      text: (parsed.text?.trim() || textOf(parsed.html ?? '')).slice(0, 4_000),
      htmlOnly: !parsed.text?.trim() && !!parsed.html,
      bulkMailer: parsed.headers.some(({ key }) => key === 'list-id' || key === 'list-unsubscribe'),
    };
  }
}

function hostOf(address: Address | undefined): string {
  const [first] = address?.group ?? [address];
  return first?.address?.split('@').at(-1)?.toLowerCase() ?? '';
}

function textOf(html: string): string {
  return html
    .replace(/<(style|script)\b.*?<\/\1>/gis, ' ')
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ')
    .trim();
}
