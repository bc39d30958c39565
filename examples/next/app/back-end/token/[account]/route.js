// The application's own back end. It knows who is asking, which this one does not check, and gives them a token.
const { TUTTI_SERVER_KEY, NEXT_PUBLIC_TUTTI_SERVER = "http://localhost:8787" } = process.env;

export async function GET(_request, { params }) {
  const { account } = await params;
  const answer = await fetch(`${NEXT_PUBLIC_TUTTI_SERVER}/api/tokens`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${TUTTI_SERVER_KEY}` },
    body: JSON.stringify({ account }),
  });
  const { token } = await answer.json();
  return new Response(token, { status: answer.status });
}
