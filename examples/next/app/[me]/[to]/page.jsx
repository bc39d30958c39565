import { Chat } from "./chat.jsx";

/** These are rendered when the application is built, all others when they are asked for. */
export const generateStaticParams = () => [
  { me: "anna", to: "ben" },
  { me: "ben", to: "anna" },
];

export default async function Page({ params }) {
  const { me, to } = await params;
  return <Chat me={me} to={to} />;
}
