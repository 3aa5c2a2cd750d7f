import { Module } from '@nestjs/common';
import { WorkflowModule } from 'nestjs-workflow';
import { MailsController } from './mails.controller.js';
import { settings } from './settings.js';
import { LanguageDetector } from './steps/language-detector.js';
import { LinkFinder } from './steps/link-finder.js';
import { MailParser } from './steps/mail-parser.js';
import { Quarantine } from './steps/quarantine.js';
import { Reputation } from './steps/reputation.js';
import { SpamRules } from './steps/spam-rules.js';
import { MailTriage } from './triage.workflow.js';

@Module({
  imports: [
    WorkflowModule.forRoot({
      database: settings.databaseUrl ? { url: settings.databaseUrl } : { embedded: settings.databaseFolder },
      transport: settings.transport,
      // shorter than the defaults, so that a killed worker is missed soon
      worker: { heartbeat: '500ms', leaseTimeout: '2s' },
    }),
  ],
  controllers: [MailsController],
  providers: [MailTriage, MailParser, SpamRules, LinkFinder, LanguageDetector, Reputation, Quarantine],
})
export class AppModule {}
