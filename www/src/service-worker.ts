// What runs when no page is open: the package's worker, which opens this page when a notification is clicked.
import { serve } from "tutti-sync/sw";

serve({ page: "/" });
