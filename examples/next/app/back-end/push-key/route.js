const { NEXT_PUBLIC_TUTTI_SERVER = "http://localhost:8787" } = process.env;

export const dynamic = "force-dynamic"; // not when the application is built, as there may be no server then

export async function GET() {
  const answer = await fetch(`${NEXT_PUBLIC_TUTTI_SERVER}/api/push`);
  const { public_key } = await answer.json();
  return new Response(public_key, { status: answer.status });
}
