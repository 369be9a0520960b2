# Homebrew formula of joule. Written without a Mac: `ruby -c` reads it, Homebrew has not run it.
#
# The project has no release archive yet, so the formula builds a local clone:
#
#     brew tap-new "$USER/joule" && cp packaging/homebrew/joule.rb "$(brew --repository "$USER/joule")/Formula/"
#     HOMEBREW_JOULE_CLONE=$PWD brew install "$USER/joule/joule"
#     brew services start joule       the server at http://127.0.0.1:9931
class Joule < Formula
  desc "Local inference of GGUF language models"
  # Homebrew passes on only variables with its prefix.
  url "file://#{ENV.fetch("HOMEBREW_JOULE_CLONE", File.expand_path("../..", __dir__))}",
      using: :git, branch: "main"
  version "0.1.0"
  license "MIT"

  depends_on "meson" => :build
  depends_on "ninja" => :build
  depends_on "pkg-config" => :build
  depends_on "xxhash" => :build # only its header is used
  depends_on "curl"
  depends_on "jansson"
  depends_on "libedit"
  depends_on "libevent"
  depends_on "libgcrypt"
  depends_on "pcre2"

  def install
    system "meson", "setup", "build", *std_meson_args
    system "meson", "compile", "-C", "build", "--verbose"
    system "meson", "install", "-C", "build"
  end

  service do
    run [opt_bin/"joule", "serve"]
    keep_alive successful_exit: false
    environment_variables JOULE_LOG_LEVEL: "info"
    log_path var/"log/joule.log"
    error_log_path var/"log/joule.log"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/joule --version")
    assert_match "bundled model: #{share}", shell_output("#{bin}/joule doctor")
    # The bundled model writes a few tokens.
    refute_empty shell_output("#{bin}/joule run -q --raw -n 4 --temp 0 -p 'Once upon a time'").strip
  end
end
