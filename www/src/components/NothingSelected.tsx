import { useStatus } from "../sync";
import { count } from "../text";
import { Stave } from "./Stave";

export function NothingSelected() {
  const { tabs } = useStatus();
  return (
    <div className="nothing">
      <Stave notes={tabs} bright={0} />
      <h2>{tabs === 1 ? "One tab, one connection" : `${count(tabs, "tab")}, one connection`}</h2>
      <p>Choose a conversation, or open another tab and watch both keep time.</p>
    </div>
  );
}
