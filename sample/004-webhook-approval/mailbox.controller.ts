import { Controller, Get, Param } from '@nestjs/common';
import { Mailbox, type Mail } from './mailbox.service.js';

@Controller('mailbox')
export class MailboxController {
  constructor(private readonly mailbox: Mailbox) {}

  @Get(':address')
  get(@Param('address') address: string): Promise<Mail[]> {
    return this.mailbox.of(address);
  }
}
