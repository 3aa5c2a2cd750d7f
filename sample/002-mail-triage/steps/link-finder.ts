import { Injectable } from '@nestjs/common';
import { LinkifyIt } from 'linkify-it';
import { Step } from 'nestjs-workflow';
import { Recorded } from '../evidence.js';
import type { Findings } from '../mail.js';

const linkify = new LinkifyIt();

@Injectable()
export class LinkFinder {
  @Step()
  @Recorded()
  async find(text: string): Promise<Findings & { count: number }> {
    const links = new Set(linkify.match(text)?.map((link) => link.url));
    const bare = [...links].filter((url) => /^https?:\/\/[\d.]+(?:[:/]|$)/.test(url));
    return {
      count: links.size,
      points: bare.length ? 1 : 0,
      reasons: bare.map((url) => `link to a bare address: ${url}`),
    };
  }
}
