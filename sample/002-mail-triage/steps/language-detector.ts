import { Injectable } from '@nestjs/common';
import { franc } from 'franc-min';
import { Step } from 'nestjs-workflow';
import { Recorded } from '../evidence.js';

@Injectable()
export class LanguageDetector {
  /** ISO 639-3, `und` when there is too little text. */
  @Step()
  @Recorded()
  async detect(text: string): Promise<string> {
    return franc(text.slice(0, 1_000));
  }
}
