// Locks with Curator's InterProcessMutex as it is told. The orders and answers are those of src/foreign/dialogue.rs.

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.LockInternalsDriver;
import org.apache.curator.framework.recipes.locks.StandardLockInternalsDriver;
import org.apache.curator.retry.RetryForever;

final class Curator {
    private static final int PAUSE_MS = 100;
    private static final int CONNECT_MS = 15_000;

    /** Takes the number of every node for its place, in whichever dialect it is named. Curator's own sorts unknown names last. */
    private static final LockInternalsDriver BY_NUMBER = new StandardLockInternalsDriver() {
        @Override
        public String fixForSorting(String name, String lockName) {
            return name.substring(Math.max(0, name.length() - 10));
        }
    };

    private final CuratorFramework client;
    private final LockInternalsDriver driver;
    private InterProcessMutex lock;

    private Curator(CuratorFramework client, LockInternalsDriver driver) {
        this.client = client;
        this.driver = driver;
    }

    /** HOSTS SESSION_MS MANNER, where the manner is standard or by-number. */
    public static void main(String[] args) throws Exception {
        CuratorFramework client =
                CuratorFrameworkFactory.newClient(args[0], Integer.parseInt(args[1]), CONNECT_MS, new RetryForever(PAUSE_MS));
        client.start();
        client.blockUntilConnected();
        LockInternalsDriver driver = args[2].equals("by-number") ? BY_NUMBER : new StandardLockInternalsDriver();
        BlockingQueue<String> orders = new LinkedBlockingQueue<>();
        // The input is read in a thread, so that its end also ends a program that waits.
        new Thread(() -> readOrders(orders)).start();
        say("ready");
        new Curator(client, driver).obey(orders);
    }

    private static void readOrders(BlockingQueue<String> orders) {
        try (BufferedReader input = new BufferedReader(new InputStreamReader(System.in))) {
            for (String order = input.readLine(); order != null; order = input.readLine()) {
                orders.add(order);
            }
        } catch (IOException unreadable) {
            unreadable.printStackTrace();
        }
        Runtime.getRuntime().halt(0);
    }

    /** A mutex belongs to its thread, so this one carries out all orders. */
    private void obey(BlockingQueue<String> orders) {
        try {
            while (true) {
                say(answer(orders.take().split(" ")));
            }
        } catch (Exception failure) {
            failure.printStackTrace();
            Runtime.getRuntime().halt(1);
        }
    }

    private String answer(String[] order) throws Exception {
        switch (order[0]) {
            case "try": return tryAcquire(order[1]);
            case "acquire": return acquire(order[1]);
            case "release": return release();
            case "count": return count(order[1], Path.of(order[3]), Path.of(order[4]), Integer.parseInt(order[5]));
            default: throw new IllegalArgumentException(order[0]);
        }
    }

    private void prepare(String key) {
        lock = new InterProcessMutex(client, "/locks/" + key, driver);
    }

    private String tryAcquire(String key) throws Exception {
        prepare(key);
        return lock.acquire(0, TimeUnit.SECONDS) ? "held" : "busy";
    }

    private String acquire(String key) throws Exception {
        if (tryAcquire(key).equals("busy")) {
            say("waiting");
            lock.acquire();
        }
        return "held";
    }

    /** Curator does not say whether its node was still there. */
    private String release() throws Exception {
        lock.release();
        return "released";
    }

    private String count(String key, Path counter, Path journal, int times) throws Exception {
        prepare(key);
        for (int i = 0; i < times; i++) {
            lock.acquire();
            String count = Files.readString(counter).trim();
            Files.writeString(journal, "curator\n", StandardOpenOption.APPEND);
            Files.writeString(counter, Integer.toString(count.isEmpty() ? 1 : Integer.parseInt(count) + 1));
            release();
        }
        return "counted";
    }

    private static void say(String answer) {
        System.out.println(answer);
        System.out.flush();
    }
}
