const port = process.env.PORT ?? '3000';

export const settings = {
  port,
  /** where mails send the people who read them: in production the address of the load balancer */
  publicUrl: process.env.PUBLIC_URL ?? `http://localhost:${port}`,
  workflowKey: process.env.WORKFLOW_KEY ?? 'a key for development, and for it only',
  /** shared with the approval tool, which signs what it sends */
  approvalSecret: process.env.APPROVAL_SECRET ?? 'no secret',
};
